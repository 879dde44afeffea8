// Package files has what differs between systems about files: locks, owners, permissions, and the room on a disk.
//
// Windows guards the folder of a user by access lists, which permissions do not show. There, Private reports true,
// and every file belongs to the user -1, as os.Getuid does.
package files
