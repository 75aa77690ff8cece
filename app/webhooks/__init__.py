"""Telling a receiver how a job ended: signed after the Standard Webhooks convention, sent to allowed addresses only."""
