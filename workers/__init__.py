"""The arq worker: one file a job, each reads as a list of named stages."""
