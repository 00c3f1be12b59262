module mimeo.dev/lab/pause

go 1.26
