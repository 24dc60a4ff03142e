import Core

/// How the routes of a conversion are described.
enum LeadConversionDocuments {
    private static func schema(_ name: String) -> JSON { ["$ref": .string("#/components/schemas/\(name)")] }
    private static let id: JSON = ["type": "string", "format": "uuid"]

    static let convert = Operation(
        id: "convertLead", summary: "Convert a lead",
        description: """
            Makes a contact of the lead, an account of its company, or takes those that are named by their ids, and a deal if there is one in \
            the body; once, however many ask. \
            Members that a body leaves out are the lead's: of the account name (company), domain (of the website or the e-mail address, \
            not one where anybody may have a place, such as gmail.com), website, address and owner; of the contact the names, title, email, \
            phone, address, owner, tags and custom values; of the deal the company as its name, or else the person's, and the owner. Fields of the lead that your role hides do not go along. Without account one is made if the lead names a \
            company; null makes none. A contact that is there stays as it is, with its account. \
            Notes and tasks about the lead, \(LeadConversion.maximumCompanions) of each at most, are about the contact from then on. \
            The lead is converted then, says what it became, and is not changed or deleted any more; another \
            conversion is refused with conflict, which has converted_account_id, converted_contact_id and converted_deal_id. \
            A record that is named and has become another one is refused with merged, which has the id of that one. \
            Making needs the permission to create each, naming one that to read it.
            """,
        tag: "leads", parameters: [.ifMatch, .idempotencyKey],
        body: [
            "type": "object", "additionalProperties": false,
            "properties": [
                "account": [
                    "description": "The id of one that is there, what a new one has beside the lead's values, or null for none.",
                    "anyOf": [id, ["type": "object"], ["type": "null"]],
                ],
                "contact": [
                    "description": "The id of one that is there, or what a new one has beside the lead's values.",
                    "anyOf": [id, ["type": "object"]],
                ],
                "deal": ["description": "What a deal has beside the lead's values; none is made without.", "type": ["object", "null"]],
            ],
        ],
        bodyExample: [
            "account": ["name": "Kestrel Freight", "industry": "Logistics"], "contact": ["title": "Head of Procurement"],
            "deal": ["name": "40 seats"],
        ],
        responses: [
            .init(
                200, "What it became; of a record that you gave to somebody whose records you do not see, id and version.",
                schema: [
                    "type": "object", "required": ["lead", "account", "contact", "deal"],
                    "properties": [
                        "lead": schema("Lead"), "account": ["anyOf": [schema("Account"), schema("AccountReference"), ["type": "null"]]],
                        "contact": ["anyOf": [schema("Contact"), schema("ContactReference")]],
                        "deal": ["anyOf": [schema("Deal"), schema("DealReference"), ["type": "null"]]],
                    ],
                ])
        ], errors: [.conflict, .merged, .referenceNotFound, .alreadyExists])

    static let offer = Operation(
        id: "getLeadConversion", summary: "Read what a lead would become, or became",
        description: """
            The values that a conversion would use, and what may be there already: accounts by the domain and contacts by the e-mail \
            address, the newest \(LeadConversion.maximumMatches) of each that you may read.
            """,
        tag: "leads",
        responses: [
            .init(
                200, "The offer.",
                schema: [
                    "type": "object", "required": ["converted", "account", "contact", "deal"],
                    "properties": [
                        "converted": [
                            "type": ["object", "null"], "required": ["at", "account_id", "contact_id", "deal_id"],
                            "description": "What it became; null while it is not converted.",
                            "properties": [
                                "at": ["type": "string", "format": "date-time"],
                                "account_id": ["type": ["string", "null"], "format": "uuid"],
                                "contact_id": ["type": ["string", "null"], "format": "uuid"],
                                "deal_id": ["type": ["string", "null"], "format": "uuid"],
                            ],
                        ],
                        "account": offer(of: "Account"), "contact": offer(of: "Contact"),
                        "deal": ["type": "object", "required": ["values"], "properties": ["values": values]],
                    ],
                ]),
            .init(
                301, "The lead was merged into another one.",
                headers: [Operation.Header(name: "Location", description: "The same of what it was merged into.")]),
        ])

    private static let values: JSON = ["type": "object", "description": "By the names of its fields."]

    private static func offer(of type: String) -> JSON {
        [
            "type": "object", "required": ["values", "matches"],
            "properties": [
                "values": values,
                "matches": ["type": "array", "items": schema(type)],
            ],
        ]
    }

    static let undo = Operation(
        id: "undoLeadConversion", summary: "Undo the conversion of a lead",
        description: """
            As long as nothing that it made was changed, or is referred to by others: what it made is deleted, notes and tasks go back to the lead, \
            also those about a contact or a deal that is deleted so, and the lead is as it was before. Else it is refused with conflict, which names in changed \
            what stands in the way. Needs the permission to create what it made.
            """,
        tag: "leads", parameters: [.ifMatch, .idempotencyKey], responses: [.init(204, "Undone.")], errors: [.conflict, .merged])
}
