"""A message of our own beside ASGI's: an answer that is there in one piece is given in one.

A server that takes it says so in the scope's ``extensions``; it has what ``http.response.start`` and
``http.response.body`` have.
"""

WHOLE = "mosaic.http.answer"
