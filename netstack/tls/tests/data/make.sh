#!/bin/sh
# Makes what the fuzz targets show each other: an authority, a server and a client, valid until 2126.
set -eu
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
key authority
openssl req -x509 -new -key authority.key -subj /CN=authority -days 36500 -out authority.pem
for who in server client; do
    key "$who"
    openssl req -new -key "$who.key" -subj "/CN=$who" |
        openssl x509 -req -CA authority.pem -CAkey authority.key -days 36500 -extfile /dev/fd/3 3<<EXT |
subjectAltName = DNS:$who.example
extendedKeyUsage = ${who}Auth
EXT
        cat - "$who.key" >"$who.pem"
    rm "$who.key"
done
# One revoked certificate, with the number 7.
printf 'R\t21260101000000Z\t260101000000Z\t07\tunknown\t/CN=gone\n' >index
printf '[ca]\ndefault_ca = a\n[a]\ndatabase = index\ndefault_md = sha256\ncrlnumber = number\n' >ca
echo 01 >number
openssl ca -config ca -gencrl -cert authority.pem -keyfile authority.key -crldays 36500 -out revoked.pem
rm -f index* ca number* authority.key
