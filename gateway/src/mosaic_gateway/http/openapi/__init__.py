"""The OpenAPI 3.1 document, generated from the registered resources. It is made once, at start."""

from mosaic_gateway.http.openapi.document import document

__all__ = ["document"]
