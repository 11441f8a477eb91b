"""What schemathesis is told on top of the OpenAPI description: NDJSON and tables are sent as the text they are."""

import schemathesis

schemathesis.serializer.alias("application/x-ndjson", "text/plain")
schemathesis.serializer.alias("text/tab-separated-values", "text/plain")
