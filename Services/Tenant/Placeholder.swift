enum TenantPlaceholder {}
