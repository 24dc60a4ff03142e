enum ResourcesTestsPlaceholder {}
