module github.com/pintle-io/pintle/sdk

go 1.26.0
