"""Reports: HTML pages, plots and sentences made of the artifacts' contents."""
