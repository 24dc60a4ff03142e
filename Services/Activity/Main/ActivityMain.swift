@main enum ActivityMain { static func main() {} }
