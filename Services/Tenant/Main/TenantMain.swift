@main enum TenantMain { static func main() {} }
