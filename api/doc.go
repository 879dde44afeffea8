// Package api has the bodies of HTTP requests and answers, each once: services encode and decode them, and so does the
// Go client. The name of a type is that of its schema in docs/openapi.json, and the comments of fields are the
// descriptions there.
package api
