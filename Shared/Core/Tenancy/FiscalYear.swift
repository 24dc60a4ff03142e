/// When a tenant's fiscal year begins: on the first day of a month, by its number.
public enum FiscalYear {
    public static let months = 1...12
    /// January, until a tenant says another.
    public static let initial = 1

    /// The number, if it is a month's; else `nil`. What comes from elsewhere is read by this.
    public static func start(_ number: some BinaryInteger) -> Int? { Int(exactly: number).flatMap { months.contains($0) ? $0 : nil } }
}
