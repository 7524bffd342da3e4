"""Hosting an ASGI application on a WSGI server: the work of one request, and of one process.

Private, and the only place beside `bridge._wsgi_hosting` where the rules (`bridge.translate`) and the threads
(`bridge._runtime`) meet. A request has two sides: the *servant* is the request thread, which alone touches the server's
objects; the *exchange* is on the loop, with the application's task.
"""
