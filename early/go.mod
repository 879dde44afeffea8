module a.stega/early

go 1.26
