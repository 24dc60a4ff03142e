enum CRMTestsPlaceholder {}
