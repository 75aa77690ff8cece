"""HTTP only: one router a noun, request and response models beside the routes."""
