@main enum CRMMain { static func main() {} }
