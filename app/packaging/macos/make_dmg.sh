#!/usr/bin/env bash
# The disk image for macOS: dist/fathom-VERSION-macos-MACHINE.dmg out of dist/Fathom.app.
#
# IDENTITY: the name of a Developer ID certificate in the keychain; without it the program keeps
#     PyInstaller's signature, which is for this machine only (ad hoc).
# NOTARY_USER, NOTARY_TEAM, NOTARY_PASSWORD: who asks Apple to look at it; needs IDENTITY.
#
# Written after Apple's documentation and never run on macOS; tests/frozen/test_mac_image.py shows
# with stand-ins which tools are called, and in which order.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
dist=${DIST:-$root/dist}
app=$dist/Fathom.app
identity=${IDENTITY:-}
user=${NOTARY_USER:-}

fail() { printf 'make_dmg.sh: %s\n' "$1" >&2; exit 1; }

[ -d "$app" ] || fail "$app is missing: freeze the program first (make package)."
[ -z "$user" ] || [ -n "$identity" ] || fail "Apple looks at signed programs only: set IDENTITY."

version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' "$root/models/version.py")
[ -n "$version" ] || fail "models/version.py names no version."
machine=$(uname -m)
[ "$machine" != arm64 ] || machine=aarch64
image=$dist/fathom-$version-macos-$machine.dmg

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sign() { codesign --force --timestamp --options runtime --sign "$identity" "$@"; }

# What is inside is signed before what is around it: libraries, frameworks, programs, the bundle.
sign_app() {
    local path
    find "$app/Contents" -type f -print0 | while IFS= read -r -d '' path; do
        case $(file -b "$path") in
        *Mach-O*) sign "$path" ;;
        esac
    done
    find "$app/Contents" -depth -type d -name '*.framework' -print0 |
        while IFS= read -r -d '' path; do sign "$path"; done
    sign --entitlements "$here/entitlements.plist" "$app"
}

# Wait until Apple has looked at a file, and fail with its report when it was refused.
notarise() {
    local answer=$work/answer.plist
    # The password is an argument: notarytool takes it from nowhere else without a prompt. The
    # machines of the release workflow have no other users.
    xcrun notarytool submit "$1" --apple-id "$user" --team-id "${NOTARY_TEAM:?}" \
        --password "${NOTARY_PASSWORD:?}" --wait --timeout 60m --output-format plist > "$answer"
    grep -q '<string>Accepted</string>' "$answer" || {
        cat "$answer" >&2
        fail "Apple has not accepted $(basename "$1")."
    }
}

if [ -n "$identity" ]; then
    sign_app
fi
codesign --verify --deep --strict "$app"
if [ -n "$user" ]; then
    ditto -c -k --keepParent "$app" "$work/Fathom.zip"
    notarise "$work/Fathom.zip"
    # The program carries Apple's word along: it opens without a network too.
    xcrun stapler staple "$app"
fi

mkdir "$work/image"
ditto "$app" "$work/image/Fathom.app"
ln -s /Applications "$work/image/Applications"
rm -f "$image"
hdiutil create -quiet -volname "Fathom $version" -srcfolder "$work/image" -fs HFS+ -format UDZO "$image"
if [ -n "$identity" ]; then
    codesign --force --timestamp --sign "$identity" "$image"
fi
if [ -n "$user" ]; then
    notarise "$image"
    xcrun stapler staple "$image"
fi
printf '%s\n' "$image"
