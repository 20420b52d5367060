package webui

import (
	"net/http"
	"strings"
)

// contentPolicy lets a page use what the box itself serves and nothing else:
// no inline script or style, no other origin, no text turned into markup.
// data: is for QR codes, which are pictures the box makes.
var contentPolicy = strings.Join([]string{
	"default-src 'none'",
	"script-src 'self'",
	"style-src 'self'",
	"img-src 'self' data:",
	"connect-src 'self'",
	"base-uri 'none'",
	"form-action 'none'",
	"frame-ancestors 'none'",
	"require-trusted-types-for 'script'",
	"trusted-types 'none'",
}, "; ")

func setSecurity(h http.Header, secure bool) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), autoplay=(self), display-capture=(), geolocation=(), payment=(), usb=()")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	if secure {                      // over plain HTTP browsers ignore it, and say so in their console
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
