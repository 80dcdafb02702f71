"""The services of Estafette. None of them imports another; they meet on streams and in `shared`."""
