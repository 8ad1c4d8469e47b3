"""Truth from which nothing can be learned or scored: what stops `prepare`, and what a dataset's `allow` lets pass."""

DEGENERATE = {
    "absent_class": "a class never occurs in train, so no network can learn it",
    "unscored_class": "a class never occurs in val or test, so a mean there is over fewer classes",
    "empty_masks": "no picture of a split holds any class",
    "ignored_masks": "all pixels of a split are ignored",
    "single_class": "there is one class that excludes all others, so it always wins",
    "dangling": "most annotations point to pictures or categories that are not there",
    "only_crowds": "all annotations mark crowds, whose pixels count nowhere",
}
