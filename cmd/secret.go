package cmd

import (
	"os"
	"strings"

	"stega/fault"
)

// maxSecret bounds a file that holds a secret.
const maxSecret = 64 << 10

// secret returns the environment variable name, or else the content of the file that the variable name_FILE names,
// without the newline at its end. A file keeps the secret out of the process's environment and out of "docker
// inspect".
func secret(name string) (string, error) {
	value, file := os.Getenv(name), os.Getenv(name+"_FILE")
	switch {
	case file == "":
		return value, nil
	case value != "":
		return "", fault.Usage("secret_twice", "%s and %s_FILE are both set", name, name).WithHint("unset one of them")
	}
	info, err := os.Stat(file)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxSecret) {
		return "", fault.Usage("secret_unreadable", "%s_FILE names %q, which is not a small regular file", name, file).
			WithHint("write the value into a file, and name that file")
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(file)
	}
	if err != nil {
		return "", fault.Usage("secret_unreadable", "%s_FILE names %q, which cannot be read", name, file).
			WithHint("check the path, and that the process's user may read the file").Because(err)
	}
	value = strings.TrimRight(string(content), "\r\n")
	if value == "" {
		return "", fault.Usage("secret_empty", "%s_FILE names %q, which is empty", name, file).
			WithHint("write the value into it")
	}
	return value, nil
}
