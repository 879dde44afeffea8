package access

func child() bool { return false }
