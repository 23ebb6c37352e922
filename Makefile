# `make demo` shows the whole at work, `make test` runs every test. Both need Debian 12 with Swift 6.3, make and git;
# what else is missing they install with apt (.ci/packages).

.PHONY: demo test lint imports header bench packages clean

# Starts OpenLDAP, an HTTP receiver and the daemon on this machine, and follows password changes to them.
demo: packages
	swift build
	@.build/debug/demo

# Builds and runs every test, against the real servers. One after the other: many wait for a real process, and on two
# cores those would hold up the ones that measure a deadline. What failed is listed at the end.
test: packages
	swift build --build-tests
	@.ci/test swift test --skip-build --disable-xctest --no-parallel

# How the code is written: .swift-format.
lint:
	swift format lint --strict --parallel --recursive Package.swift Sources Plugins Tests $(wildcard Benchmarks)

# Nothing imports what Package.swift does not say it may.
imports: packages
	swift build --build-tests --explicit-target-dependency-import-check error

# What a plugin author compiles is C11 and C++17, and so is the example.
contract := Sources/CRuntimeSync/include
header: packages
	cc -std=c11 -pedantic -Wall -Wextra -Werror -fsyntax-only -x c $(contract)/runtime_sync.h
	g++ -std=c++17 -pedantic -Wall -Wextra -Werror -fsyntax-only -x c++ $(contract)/runtime_sync.h
	cc -std=c11 -pedantic -Wall -Wextra -Werror -fsyntax-only -I $(contract) Plugins/Template/template.c
	g++ -std=c++17 -pedantic -Wall -Wextra -Werror -fsyntax-only -x c++ -I $(contract) Plugins/Template/template.c

# Throughput beside that of a plain C client, PostgreSQL and Redis, in the same run.
bench: packages
	swift build -c release
	Benchmarks/run

packages:
	@.ci/install

clean:
	swift package clean
