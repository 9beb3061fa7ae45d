"""Rooms and the signalling protocol over WebSocket, and the web page."""
