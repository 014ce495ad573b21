module nightshift.dev/lab/testapp

go 1.26.0
