enum PostgresTestsPlaceholder {}
