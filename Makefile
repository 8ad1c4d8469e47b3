# `make` lists what there is. Everything runs in .venv; nothing is installed outside it.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# MLflow's own page needs neither background jobs nor to tell anyone.
export MLFLOW_DISABLE_TELEMETRY := true
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false

.PHONY: help repro everything test road test-gpu test-all bench bench-long pdf lint ui results clean

help:
	@echo "make repro       raw data to the report: reports/index.html (about 16 minutes on 2 cores with bf16)"
	@echo "make everything  all studies of params.yaml, one after another, to one page (wants a GPU; see docs/studies.md)"
	@echo "make test        the fast tests (7 to 10 minutes on 2 cores)"
	@echo "make road        the pipeline by DVC, killed and on real pictures (about 6 minutes; needs ../shared/mirror)"
	@echo "make test-gpu    what needs a CUDA device (minutes; skipped without one)"
	@echo "make test-all    every test, at full size (about an hour; needs Chromium and ../shared/mirror)"
	@echo "make bench       what it costs, beside what it is compared with, as tables (under 15 minutes on 2 cores)"
	@echo "make bench-long  the benchmarks that take longer: what speed is worth, how things scale (under 2 hours)"
	@echo "make lint        the linter, and who may import whom (seconds)"
	@echo "make pdf         the report as report.pdf (needs Chromium)"
	@echo "make ui          MLflow's page of all runs, on http://127.0.0.1:5000"
	@echo "make results     experiments and their scores, as a table"
	@echo "make clean       remove the environment; data and results stay"

# The stamp is newer than what it was made from, or the environment is made again.
.venv/stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "seglib needs Python 3.11 or newer; found " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	@echo "making the environment in .venv (PyTorch is large: a few minutes)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

repro: .venv/stamp
	@seglib repair
	@dvc repro
	@seglib mlsync
	@echo "report:     $(CURDIR)/reports/index.html"
	@echo "MLflow UI:  make ui"

everything: .venv/stamp
	@seglib everything
	@seglib mlsync

# One worker per physical core. An idle worker takes over half of another worker's remaining tests.
FAST = python -m pytest -n auto --dist worksteal
# The tests of a file share a clone of the repository, so one worker runs them all.
ROAD = python -m pytest -n auto --dist loadfile

test: .venv/stamp
	@$(FAST) -m "not slow and not road and not gpu"

road: .venv/stamp
	@$(ROAD) -m "road and not slow"

# One process, because the trainings of several would share the GPU and take longer.
test-gpu: .venv/stamp
	@python -m pytest -m gpu tests/gpu

# The default study runs alone, because its trainings use all cores.
test-all: export SEGLIB_REQUIRE_ALL := 1
test-all: .venv/stamp lint
	@$(FAST) -m "not road and not fuzz and not gpu"
	@$(FAST) -m fuzz --hypothesis-profile=fuzz
	@$(ROAD) -m road --deselect tests/road/test_default_study.py
	@python -m pytest tests/road/test_default_study.py

bench: .venv/stamp
	@python -m benchmarks

bench-long: .venv/stamp
	@python -m benchmarks long

lint: .venv/stamp
	@ruff check .
	@lint-imports --no-cache --no-logo

# Chromium under any of its names; another: make pdf CHROMIUM=...
CHROMIUM ?= $(firstword $(foreach name,chromium chromium-browser google-chrome,$(shell command -v $(name))))
pdf:
	@test -s reports/index.html || { echo "no reports/index.html: run make repro first"; exit 1; }
	@test -n "$(CHROMIUM)" || { echo "no Chromium found; name one: make pdf CHROMIUM=/path/to/it"; exit 1; }
	@profile=$$(mktemp -d) && trap 'rm -rf "$$profile"' EXIT && \
	"$(CHROMIUM)" --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking \
		--disable-component-update --disable-sync --user-data-dir="$$profile" --no-pdf-header-footer \
		--generate-pdf-document-outline --print-to-pdf=report.pdf "file://$(CURDIR)/reports/index.html" 2> /dev/null
	@echo report.pdf

ui: .venv/stamp
	@seglib mlsync
	@mlflow ui --host 127.0.0.1 --workers 1 --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/.work/mlflow/mlflow.db}"

results: .venv/stamp
	@dvc exp show --md --drop '.*' --keep 'Experiment|Created|.*\.iou'

clean:
	rm -rf .venv
