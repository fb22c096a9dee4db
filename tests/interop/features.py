"""features.py DIR FRAMES: writes DIR/features.dbc and DIR/in/*.log, candump logs of FRAMES frames in
all, seeded, so that every kind of column appears: negative factors, 33 to 64 bits, floats, half of a
message null (multiplexing), short payloads, value tables, CAN FD, source addresses, an id with
neither a table nor a friend, remote and error frames.
"""
import os
import random
import struct
import sys

DBC = '''VERSION "features"
NS_ :
BS_:
BU_: ECU
BO_ 256 Negative: 8 ECU
 SG_ Down : 0|8@1+ (-1,0) [-255|0] "" ECU
 SG_ DownHalf : 8|12@1+ (-0.5,10) [0|0] "m" ECU
 SG_ DownSigned : 20|16@1- (-2,3) [0|0] "" ECU
 SG_ DownBig : 47|16@0- (-0.125,0) [0|0] "A" ECU
 SG_ Flag : 56|1@1+ (1,0) [0|1] "" ECU
 SG_ Level : 57|3@1+ (1,0) [0|7] "" ECU
BO_ 257 Wide: 8 ECU
 SG_ All : 0|64@1+ (1,0) [0|0] "" ECU
BO_ 258 WideSigned: 8 ECU
 SG_ All : 7|64@0- (1,0) [0|0] "" ECU
BO_ 259 WideScaled: 8 ECU
 SG_ Low33 : 0|33@1+ (0.001,-5) [0|0] "s" ECU
 SG_ High31 : 33|31@1- (0.5,0) [0|0] "" ECU
BO_ 260 WideMixed: 8 ECU
 SG_ U24 : 0|24@1+ (1,0) [0|0] "" ECU
 SG_ S40 : 24|40@1- (1,0) [0|0] "" ECU
BO_ 261 Floats: 8 ECU
 SG_ Single : 0|32@1- (1,0) [0|0] "V" ECU
 SG_ SingleScaled : 32|32@1- (0.5,1) [0|0] "" ECU
BO_ 262 Double: 8 ECU
 SG_ Value : 0|64@1- (1,0) [0|0] "" ECU
BO_ 263 Muxed: 8 ECU
 SG_ Page M : 0|4@1+ (1,0) [0|15] "" ECU
 SG_ A0 m0 : 8|16@1+ (0.01,0) [0|0] "" ECU
 SG_ B0 m0 : 24|8@1- (1,0) [0|0] "" ECU
 SG_ A1 m1 : 8|32@1+ (1,0) [0|0] "" ECU
 SG_ A2 m2 : 8|8@1+ (1,0) [0|0] "" ECU
 SG_ Always : 56|8@1+ (1,-40) [0|0] "degC" ECU
BO_ 264 Enum: 2 ECU
 SG_ Gear : 0|4@1+ (1,0) [0|15] "" ECU
 SG_ Mode : 4|4@1- (1,0) [0|0] "" ECU
 SG_ Ratio : 8|8@1+ (0.25,0) [0|0] "" ECU
BO_ 265 Fast: 64 ECU
 SG_ Head : 0|16@1+ (1,0) [0|0] "" ECU
 SG_ Mid : 259|20@0+ (0.1,0) [0|0] "" ECU
 SG_ Tail : 496|16@1- (1,0) [0|0] "" ECU
BO_ 2566844926 Shared: 8 ECU
 SG_ Speed : 24|16@1+ (0.125,0) [0|8031.875] "rpm" ECU
 SG_ Torque : 16|8@1+ (1,-125) [-125|125] "%" ECU
BO_ 266 Still: 8 ECU
 SG_ Constant : 0|16@1+ (0.1,0) [0|0] "" ECU
 SG_ Ramp : 16|32@1+ (1,0) [0|0] "" ECU
BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG","StandardCAN_FD";
BA_DEF_DEF_ "VFrameFormat" "StandardCAN";
BA_ "VFrameFormat" BO_ 2566844926 3;
BA_ "VFrameFormat" BO_ 265 4;
VAL_ 264 Gear 0 "Park" 1 "Reverse" 2 "Neutral" 3 "Drive, \xb0" 15 "Invalid" ;
VAL_ 264 Mode -1 "Off" 0 "Idle" 7 "Max" ;
SIG_VALTYPE_ 261 Single : 1;
SIG_VALTYPE_ 261 SingleScaled : 1;
SIG_VALTYPE_ 262 Value : 2;
'''

DOUBLES = [0.0, -0.0, 1.5, -1e300, 5e-324, float('inf'), float('-inf'), float('nan'), 0.1]


def payload(rng, i, cid):
    """Data of frame i: mostly small changes, sometimes anything."""
    if cid == 261:
        vals = [DOUBLES[rng.randrange(9)] if rng.random() < 0.02 else rng.gauss(20, 5)
                for _ in '12']
        return b''.join(struct.pack('<f', v if abs(v) < 1e38 or v - v else 7.0) for v in vals)
    if cid == 262:
        return struct.pack('<d', DOUBLES[rng.randrange(9)] if rng.random() < 0.02
                           else 100 + i * 0.01)
    if cid == 263:
        return bytes([rng.choice((0, 0, 1, 2, 3))]) + rng.randbytes(6) + bytes([i & 255])
    if cid == 264:
        return bytes([rng.choice((0, 1, 2, 3, 15, 9)) | rng.choice((0, 7, 15, 4)) << 4, i & 255])
    if cid == 265:
        return rng.randbytes(64)
    if cid == 266:
        return struct.pack('<HIH', 421, i, 0)
    data = rng.randbytes(8) if rng.random() < 0.3 else struct.pack('<II', i & 0xffff, i >> 3)
    return data[:rng.randrange(9)] if rng.random() < 0.01 else data


def line(rng, i):
    ts = '(%d.%06d) can%d ' % (1700000000 + i // 2000, i % 2000 * 500, i // 20000 % 2)
    pick = rng.random()
    if pick < 0.002:
        return ts + '20000080#0000000000000000\n'
    if pick < 0.004:
        return ts + '123#R\n'
    if pick < 0.02:
        return ts + '7%02X#%s\n' % (rng.randrange(256), rng.randbytes(8).hex())
    if pick < 0.12:
        return ts + '18FEF1%02X#%s\n' % (rng.choice((0, 3, 0x27)), payload(rng, i, 0).hex())
    cid = 256 + i % 11
    return ts + '%03X%s%s\n' % (cid, '##1' if cid == 265 else '#', payload(rng, i, cid).hex())


def main():
    folder, frames = sys.argv[1], int(sys.argv[2])
    os.makedirs(os.path.join(folder, 'in'))
    with open(os.path.join(folder, 'features.dbc'), 'w', encoding='cp1252', newline='') as f:
        f.write(DBC)
    rng, files = random.Random(20240607), 5
    for k in range(files):
        with open(os.path.join(folder, 'in', '%d.log' % k), 'w') as f:
            f.writelines(line(rng, i) for i in range(k * frames // files, (k + 1) * frames // files))


if __name__ == '__main__':
    main()
