enum ActivityPlaceholder {}
