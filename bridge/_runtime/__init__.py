"""Moves work and bytes between threads and an event loop; knows no HTTP.

Private: how threads and loops meet may change in any release. This package never imports `bridge.translate`, and what
differs between asyncio and trio is in `bridge._runtime.loops` alone. Every method says which thread may call it.
"""
