"""What the record of a call most likely consists of: the dictionary that it is compressed with (RFC 1950 2.2).  Pure.

With it a record takes little more than half the bytes, and less time, since most of a call is what every call says.
The bytes belong to `sip.trace_codec.FORMAT`: with others the records of before can't be read.
"""

from __future__ import annotations

_RARE = """\
Unsupported Media Type
Server Internal Error
Call/Transaction Does Not Exist
Not Acceptable Here
Request Terminated
Temporarily Unavailable
Service Unavailable
Proxy Authentication Required
Busy Here
Not Found
Decline
Session Progress
WWW-Authenticate: Proxy-Authenticate: Digest realm="", nonce="", algorithm=SHA-256, algorithm=MD5, qop="auth"
Authorization: Digest username="", realm="", nonce="", uri="sip:", response=***, algorithm=MD5, cnonce="", qop=auth, \
nc=00000001
INFO sip: UPDATE sip: PRACK sip: REFER sip: NOTIFY sip: MESSAGE sip: CANCEL sip:
Reason: SIP;cause=200;text="Call completed elsewhere"
Reason: Q.850;cause=16;text="Normal call clearing"
Content-Type: application/dtmf-relay
Signal=1
Duration=160
Session-Expires: 1800;refresher=uac
Min-SE: 90
Allow-Events: presence, message-summary, refer, talk, hold
Accept: application/sdp
Accept-Language: en
Privacy: none
Supported: replaces, timer, outbound, path, norefersub, 100rel
;transport=tcp;transport=udp;ob>
<urn:uuid:
;expires=3600
m=video  RTP/AVP 96 97 98 99
a=rtpmap:96 VP8/90000
a=rtpmap:97 H264/90000
a=fmtp:97 profile-level-id=42e01f;packetization-mode=1
a=rtcp-fb:* nack pli
a=rtcp-fb:* ccm fir
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:9 G722/8000
a=rtpmap:18 G729/8000
a=fmtp:18 annexb=no
a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:****************************************
a=ssrc: cname:
a=recvonly
a=sendonly
a=inactive
"""

_COMMON = """\
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER, MESSAGE, INFO, PRACK, SUBSCRIBE, UPDATE
Server: sipserver
User-Agent: \

v=0
o=- IN IP4 192.168.
s=-
c=IN IP4 192.168.
t=0 0
m=audio  RTP/SAVP RTP/AVP 9 0 8 96 18 101
a=rtcp:
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=fmtp:101 0-15
a=maxptime:
a=ptime:20
a=sendrecv
SIP/2.0 100 Trying
SIP/2.0 183 Session Progress
SIP/2.0 180 Ringing
SIP/2.0 200 OK
ACK sip:
BYE sip:
INVITE sip:
Via: SIP/2.0/TCP
Via: SIP/2.0/UDP 192.168. ;rport;branch=z9hG4bK;rport= ;received=192.168.
Record-Route: <sip: ;lr>
Route: <sip: ;lr>
Contact: <sip: @192.168. :5060>
Supported: replaces
Max-Forwards: 70
Max-Forwards: 69
From: "" <sip: @192.168. >;tag=
To: <sip: @192.168. >;tag=
Call-ID:
CSeq: 2 BYE
CSeq: 1 ACK
CSeq: 1 INVITE
Max-Breadth: 60
P-Asserted-Identity: <sip: @192.168. >
Content-Type: application/sdp
Content-Length: 0
"""

_HEAD = (
    '["media times out","silent",{"side":"caller","seconds":30}],["ringing at ","ringing",{"number":"","address":'
    '"attempts":1,"reason":"noanswer","by":"callee","status":486,"reason":"cancelled","status":487,"reason":"busy"'
    '{"kinds":"received sent decision sent received sent decision media received sent","flows":[["UDP","192.168.",5060,'
    '["TCP","192.168.",5060,null,"places":[0,0,1,2,2,1,1,2,2,0,0],"lengths":[0],"sizes":null,"notes":[["calling  at '
    'udp:192.168.","called",{"number":"","address":"192.168.","transport":"UDP","userAgent":"","behindNat":0,"registeredAt"'
    ':17,"lastSeenAt":17}],["call ended: normal:  hung up","ended",{"reason":"normal","by":"caller","status":200}]],'
    '"dropped":0,"streams":[[0,"audio","RTP/AVP",["192.168.",["PCMU","PCMA","telephone-event"],"sendrecv",false,false]'
    ',[10000,10002]]],"quality":[],"headers":[]}'
)

WORDS = (_RARE + _COMMON).replace("\n", "\r\n").encode("ascii") + _HEAD.encode("ascii")
"""What is common last: it is found most cheaply."""
