import Postgres

/// Ends a page after so many bytes, whatever number of rows was asked for: a service would not have the memory for a few pages of
/// the largest rows.
public enum BoundedPage {
    /// Bytes of the rows' text after which a page ends. The first row is there however large it is.
    public static let bytes = 1 << 20

    /// The statement for the page's rows, in their order. A last column `follows` tells whether another row comes after each.
    ///
    /// - Parameters:
    ///   - columns: what to select from `rows`, of the rows that have room only.
    ///   - rows: a query for the rows of the page and one more, in their order.
    ///   - size: the bytes of a row of `page`; measured unless given.
    ///   - order: its order, in terms of the columns that it selects: `sequence desc`.
    ///   - limit: the rows of the page.
    public static func query(_ columns: String, from rows: SQL, size: String = "octet_length(page::text)", order: String, limit: Int) -> SQL
    {
        """
        select \(unescaped: columns), follows from (
            select page.*, \(unescaped: size) as size, sum(\(unescaped: size)) over list as total,
                coalesce(lead(true) over list, false) as follows
            from (\(rows)) as page window list as (order by \(unescaped: order) rows unbounded preceding)
        ) as sized
        where total - size < \(unescaped: String(bytes)) order by \(unescaped: order) limit \(unescaped: String(limit))
        """
    }
}
