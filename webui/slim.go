package webui

import (
	"path"
	"strings"
)

// slim leaves out the comments of a script or style sheet: half of our text is
// for readers, and a page need not carry it. Only comments that begin a line are
// known here, so no string or pattern can be mistaken for one. The lines stay
// where they are, so that a browser's error names the line in the source.
func slim(name string, data []byte) []byte {
	if ext := path.Ext(name); (ext != ".js" && ext != ".css") || strings.Contains(name, "/vendor/") {
		return data
	}
	var out strings.Builder
	inComment := false
	for line := range strings.Lines(string(data)) {
		code := line
		if inComment {
			_, after, ended := strings.Cut(line, "*/")
			if !ended {
				out.WriteByte('\n')
				continue
			}
			code = after
		}
		code, inComment = withoutLeading(code)
		out.WriteString(strings.TrimRight(code, " \t\r\n"))
		out.WriteByte('\n')
	}
	return []byte(out.String())
}

// withoutLeading cuts the comments that a line begins with; open says that the
// last one goes on in the next line.
func withoutLeading(line string) (code string, open bool) {
	for {
		rest := strings.TrimLeft(line, " \t")
		switch {
		case strings.HasPrefix(rest, "//"):
			return "", false
		case strings.HasPrefix(rest, "/*"):
			_, after, ended := strings.Cut(rest[2:], "*/")
			if !ended {
				return "", true
			}
			line = after
		default:
			return line, false
		}
	}
}
