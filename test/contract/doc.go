// Package contract compares the HTTP API of a whole server with its OpenAPI document.
package contract
