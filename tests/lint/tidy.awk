# tidy.awk - structure of one C file: length of lines and functions. Relies on the house format: a
# function's braces stand in column 1.
# Output: "<kind> <file>:<line> <text>".
function width(s,    n, i, c) {
	n = 0
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		n = c == "\t" ? n + 8 - n % 8 : n + 1
	}
	return n
}
{
	line[NR] = $0
	if (width($0) > 100)
		print "columns " FILENAME ":" FNR " line of " width($0) " columns"
}
/^\{/ { start = FNR; head = name }
/^[A-Za-z_].*\(/ {
	name = $0
	sub(/\(.*/, "", name)
	sub(/.*[ *]/, "", name)
}
/^\}/ {
	if (start && FNR - start + 2 > 70)
		print "length " FILENAME ":" head " " FNR - start + 2
	start = 0
}
