@main enum IdentityMain { static func main() {} }
