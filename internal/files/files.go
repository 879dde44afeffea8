// Package files covers the differences between systems: locks, owners, permissions, and free disk space.
//
// Windows protects a user's folder by access lists, which permissions do not show. There Private reports true, and
// every file belongs to the user −1, as os.Getuid returns.
package files
