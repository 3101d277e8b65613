"""Text: the verdict's sentences, the summary for a CI job."""
