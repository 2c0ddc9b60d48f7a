package openclaw

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"
)

// JSON5Error says where a text is not JSON5 (spec.json5.org 1.0.0).
type JSON5Error struct {
	Line, Column int // the first is 1; columns are counted in bytes
	Reason       string
}

func (e *JSON5Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// fromJSON5 rewrites JSON5 as JSON with comments and trailing commas. Comments,
// order and lines stay; what has another form becomes JSON's: keys get quotes,
// strings double ones, numbers lose their plus sign, their hexadecimal form and
// bare points, white space that JSON does not know becomes a space.
//
// Only tokens are looked at; whether they are in order is for the parser of the
// result to say. Infinity and NaN are refused: JSON has no form for them, and
// OpenClaw no use.
func fromJSON5(b []byte) ([]byte, error) {
	c := &converter{in: b}
	for c.at < len(c.in) {
		if err := c.token(); err != nil {
			return nil, err
		}
	}
	return c.out.Bytes(), nil
}

type converter struct {
	in  []byte
	at  int
	out bytes.Buffer
}

func (c *converter) fail(at int, format string, args ...any) error {
	before := c.in[:at]
	return &JSON5Error{
		Line: 1 + bytes.Count(before, []byte("\n")), Column: at - bytes.LastIndexByte(before, '\n'), Reason: fmt.Sprintf(format, args...),
	}
}

// token converts what begins here.
func (c *converter) token() error {
	ch, size := utf8.DecodeRune(c.in[c.at:])
	switch {
	case strings.ContainsRune("{}[]:,", ch):
		c.out.WriteRune(ch)
		c.at += size
	case ch == '\n' || ch == '\r' || ch == ' ' || ch == '\t':
		c.out.WriteRune(ch)
		c.at += size
	case isJSON5Space(ch):
		c.out.WriteByte(' ')
		c.at += size
	case ch == '/':
		return c.comment()
	case ch == '"' || ch == '\'':
		return c.text(byte(ch))
	case ch == '+' || ch == '-' || ch == '.' || ch >= '0' && ch <= '9':
		return c.number()
	case isIdentifierStart(ch) || ch == '\\':
		return c.name()
	default:
		return c.fail(c.at, "%q cannot stand here", ch)
	}
	return nil
}

// isJSON5Space is what JSON5 takes for white space or for the end of a line, beyond
// JSON. The byte order mark is among it.
func isJSON5Space(ch rune) bool {
	return ch == '\v' || ch == '\f' || ch == 0xfeff || ch == 0x2028 || ch == 0x2029 || unicode.Is(unicode.Zs, ch)
}

func (c *converter) comment() error {
	rest := c.in[c.at:]
	switch {
	case bytes.HasPrefix(rest, []byte("//")):
		end := bytes.IndexAny(rest, "\n\r\u2028\u2029")
		if end < 0 {
			end = len(rest)
		}
		c.out.Write(rest[:end])
		c.at += end
		// Only a line feed ends it for the parser.
		if end < len(rest) && rest[end] != '\n' && !bytes.HasPrefix(rest[end:], []byte("\r\n")) {
			c.out.WriteByte('\n')
		}
	case bytes.HasPrefix(rest, []byte("/*")):
		end := bytes.Index(rest[2:], []byte("*/"))
		if end < 0 {
			return c.fail(c.at, "this comment does not end")
		}
		c.out.Write(rest[:end+4])
		c.at += end + 4
	default:
		return c.fail(c.at, "a comment begins with // or /*")
	}
	return nil
}

// text converts a string.
func (c *converter) text(quote byte) error {
	begin := c.at
	c.out.WriteByte('"')
	for c.at++; c.at < len(c.in); {
		ch, size := utf8.DecodeRune(c.in[c.at:])
		switch {
		case ch == rune(quote):
			c.at++
			c.out.WriteByte('"')
			return nil
		case ch == '\n' || ch == '\r':
			return c.fail(c.at, "the string that begins before has no end in this line")
		case ch == '\\':
			if err := c.escape(); err != nil {
				return err
			}
			continue
		case ch == '"':
			c.out.WriteString(`\"`)
		case ch < 0x20:
			fmt.Fprintf(&c.out, `\u%04x`, ch)
		default:
			c.out.Write(c.in[c.at : c.at+size])
		}
		c.at += size
	}
	return c.fail(begin, "this string does not end")
}

// escape converts what a backslash begins.
func (c *converter) escape() error {
	begin := c.at
	c.at++
	if c.at == len(c.in) {
		return c.fail(begin, "the text ends in a string")
	}
	ch, size := utf8.DecodeRune(c.in[c.at:])
	c.at += size
	switch {
	case strings.ContainsRune(`"\/bfnrt`, ch):
		c.out.WriteByte('\\')
		c.out.WriteRune(ch)
	case ch == 'u', ch == 'x':
		digits := map[rune]int{'u': 4, 'x': 2}[ch]
		if c.at+digits > len(c.in) || !isHex(c.in[c.at:c.at+digits]) {
			return c.fail(begin, "\\%c wants %d hexadecimal digits", ch, digits)
		}
		fmt.Fprintf(&c.out, `\u%s%s`, strings.Repeat("0", 4-digits), c.in[c.at:c.at+digits])
		c.at += digits
	case ch == 'v':
		c.out.WriteString(`\u000b`)
	case ch == '0' && (c.at == len(c.in) || c.in[c.at] < '0' || c.in[c.at] > '9'):
		c.out.WriteString(`\u0000`)
	case ch >= '0' && ch <= '9':
		return c.fail(begin, "a backslash before a digit means nothing")
	case ch == '\r':
		if c.at < len(c.in) && c.in[c.at] == '\n' {
			c.at++
		}
	case ch == '\n' || ch == 0x2028 || ch == 0x2029: // the string goes on in the next line
	default:
		c.out.Write(c.in[c.at-size : c.at])
	}
	return nil
}

func isHex(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return !unicode.Is(unicode.ASCII_Hex_Digit, r) }) < 0
}

// number converts a number.
func (c *converter) number() error {
	begin := c.at
	for c.at < len(c.in) && (c.in[c.at] == '+' || c.in[c.at] == '-' || c.in[c.at] == '.' || isWordByte(c.in[c.at])) {
		c.at++
	}
	token := string(c.in[begin:c.at])
	sign, digits := "", strings.TrimPrefix(token, "+")
	if len(digits) == len(token) {
		if rest, ok := strings.CutPrefix(token, "-"); ok {
			sign, digits = "-", rest
		}
	}
	switch {
	case strings.HasPrefix(digits, "+") || strings.HasPrefix(digits, "-"):
		return c.fail(begin, "%s is no number", token)
	case digits == "Infinity" || digits == "NaN":
		return c.fail(begin, "%s is no value that a configuration can have", token)
	case strings.HasPrefix(digits, "0x") || strings.HasPrefix(digits, "0X"):
		n, ok := new(big.Int).SetString(digits[2:], 16)
		if !ok || strings.ContainsAny(digits, "_+-") {
			return c.fail(begin, "%s is no hexadecimal number", token)
		}
		digits = n.String()
	default:
		mantissa, exponent := digits, ""
		if i := strings.IndexAny(digits, "eE"); i >= 0 {
			mantissa, exponent = digits[:i], digits[i:]
		}
		if strings.HasPrefix(mantissa, ".") && len(mantissa) > 1 {
			mantissa = "0" + mantissa
		}
		if strings.HasSuffix(mantissa, ".") && len(mantissa) > 1 {
			mantissa = mantissa[:len(mantissa)-1]
		}
		digits = mantissa + exponent
	}
	if !json.Valid([]byte(sign + digits)) {
		return c.fail(begin, "%s is no number", token)
	}
	c.out.WriteString(sign + digits)
	return nil
}

func isWordByte(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

// name converts a key without quotes, or true, false or null.
func (c *converter) name() error {
	begin := c.at
	var name strings.Builder
	for c.at < len(c.in) {
		ch, size := utf8.DecodeRune(c.in[c.at:])
		if ch == '\\' {
			if c.at+6 > len(c.in) || c.in[c.at+1] != 'u' || !isHex(c.in[c.at+2:c.at+6]) {
				return c.fail(c.at, "in a key without quotes only \\u and four hexadecimal digits can be escaped")
			}
			name.Write(c.in[c.at : c.at+6])
			c.at += 6
			continue
		}
		if !isIdentifierStart(ch) && !unicode.In(ch, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc) && ch != 0x200c && ch != 0x200d {
			break
		}
		name.Write(c.in[c.at : c.at+size])
		c.at += size
	}
	if c.colonFollows() {
		c.out.WriteString(`"` + name.String() + `"`)
		return nil
	}
	switch word := name.String(); word {
	case "true", "false", "null":
		c.out.WriteString(word)
		return nil
	case "Infinity", "NaN":
		return c.fail(begin, "%s is no value that a configuration can have", word)
	default:
		return c.fail(begin, "%s is no value; a string needs quotes", word)
	}
}

// colonFollows tells whether the next token is a colon.
func (c *converter) colonFollows() bool {
	look := converter{in: c.in, at: c.at}
	for look.at < len(look.in) {
		ch, _ := utf8.DecodeRune(look.in[look.at:])
		switch {
		case ch == ':':
			return true
		case ch == '/' || ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r' || isJSON5Space(ch):
			if look.token() != nil {
				return false
			}
		default:
			return false
		}
	}
	return false
}

func isIdentifierStart(ch rune) bool {
	return ch == '$' || ch == '_' || ch != utf8.RuneError && (unicode.IsLetter(ch) || unicode.Is(unicode.Nl, ch))
}
