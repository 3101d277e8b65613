"""Text: sentences on an evaluation, the summary for a CI job."""
