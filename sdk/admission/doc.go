// Package admission is what the author of an admission rule imports: a rule
// that may change or refuse objects before they are stored.
//
//	sdk.Register(sdk.Plugin{Name: "no-latest", New: func([]byte) (sdk.Points, error) {
//		return &admission.Points{Validate: validate}, nil
//	}})
//
//	func validate(r *admission.Review) error {
package admission
