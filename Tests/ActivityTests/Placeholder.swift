enum ActivityTestsPlaceholder {}
