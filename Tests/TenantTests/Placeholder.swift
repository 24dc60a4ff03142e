enum TenantTestsPlaceholder {}
