@main enum SupportMain { static func main() {} }
