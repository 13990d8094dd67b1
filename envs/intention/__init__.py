"""The intention gym."""
