internal import Delivery

/// A list of deliveries that is printed as it comes, part by part: as a table, or as one JSON array.
enum DeliveryListing {
    case table(TableWriter = TableWriter(headings: headings))
    case json(isEmpty: Bool = true)

    private static let headings = [
        "ID", "PROVIDER", "KIND", "USER", "STATE", "ATTEMPTS", "DUE", "REASON", "DETAIL",
    ]

    mutating func print(_ deliveries: [DeliveryReport]) throws {
        switch self {
        case .table(var writer):
            self = .table()  // or the row below would copy all that wait
            for delivery in deliveries { writer.print(Self.row(delivery)) }
            self = .table(writer)
        case .json(var isEmpty):
            for delivery in deliveries {
                let json = String(decoding: try ControlRoutes.json(delivery), as: UTF8.self)
                Swift.print(isEmpty ? "[" : ",", json, separator: "", terminator: "")
                isEmpty = false
            }
            self = .json(isEmpty: isEmpty)
        }
    }

    /// Prints what is left; nothing may come behind it.
    func end() {
        switch self {
        case .table(var writer): writer.end(whenEmpty: "nothing waits, and there are no dead letters")
        case .json(let isEmpty): Swift.print(isEmpty ? "[]" : "]")
        }
    }

    private static func row(_ delivery: DeliveryReport) -> [String] {
        [
            "\(delivery.id)", delivery.provider, delivery.kind, delivery.user.isEmpty ? "-" : delivery.user,
            delivery.state, "\(delivery.attempt)", delivery.due ?? "-", delivery.reason ?? "-",
            delivery.detail ?? "-",
        ]
    }
}
