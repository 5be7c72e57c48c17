"""The OpenAPI 3.1 document, generated from the registered resources. It is made once, at start."""

from mosaic_gateway.http.openapi.document import document
from mosaic_gateway.http.openapi.listener import listener_document

__all__ = ["document", "listener_document"]
