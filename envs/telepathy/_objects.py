"""Things people make: what can be asked about them, and which they are. See `_animals`."""

ATTRIBUTES = """
furniture | Is it a piece of furniture? | furniture; piece furniture
tool | Is it a tool? | tools
instrument | Is it a musical instrument? | musical instrument; instrument; music; musical; play music; makes music
vehicle | Is it a vehicle? | vehicles; transport; transportation; means transport; means transportation; get around
clothing | Is it clothing? | garment; piece clothing; item clothing; apparel
worn | Is it worn on the body? | worn; wear; wearable; put on; worn body
kitchen | Is it used in the kitchen? | kitchen; cooking; cook; kitchens; cooks; food; eating; prepare food; eat
device | Is it an electronic device? | electronic; electronics; gadget; electronic device
toy | Is it a toy or a game? | toy; game; toys; games; fun; toys games; plays
sport | Is it used in sport? | sport; sports; exercise; sporting; sports equipment
writing | Is it used for writing or drawing? | writing; write; drawing; draw; writes; stationery; writing drawing
container | Does it hold other things? | container; hold other things; store things; storage; holds things; contains things; carry things; hold things; put things; bag; stores things; keep things
metal | Is it mostly made of metal? | metal; metallic; steel; iron
wood | Is it mostly made of wood? | wood; wooden
plastic | Is it mostly made of plastic? | plastic
glass | Is it mostly made of glass? | glass
paper | Is it made of paper? | paper; cardboard
cloth | Is it made of cloth? | cloth; fabric; textile; cotton
leather | Is it often made of leather? | leather
rubber | Is it made with rubber? | rubber
electric | Does it use electricity? | electricity; electric; electrical; powered; plugged; power; battery; batteries; plug; needs power
engine | Does it have an engine? | motor; engine; fuel; petrol; gasoline; motorized; engines
wheels | Does it have wheels? | wheel; wheels; rolls
twowheels | Does it have exactly two wheels? | two wheels; two wheeled; 2 wheels
screen | Does it have a screen? | screen; display; monitor; screens
strings | Does it have strings? | string; stringed; strings; string instrument
keys | Does it have keys or buttons? | keys; buttons; key; button; keyboard
blown | Do you blow into it? | blow; blown; wind instrument; breath; woodwind; blow into; brass
reed | Does it have a reed? | reeds
bowed | Is it played with a bow? | bow; bowed
struck | Do you hit something with it, or hit it? | hit; strike; struck; percussion; beat; hits; hitting; percussion instrument
handle | Does it have a handle? | handle; handles; grip
sharp | Is it sharp? | blade; blades; sharp; pointed; point; sharp edge; sharp point
liquid | Does it hold liquid? | liquid; liquids; hold liquid; drink from; holds water; drinks; hold water
head | Is it worn on the head or face? | head; face; worn head; worn face; eyes
feet | Is it worn on the feet? | feet; foot; footwear; worn feet
hands | Is it worn on the hand or arm? | worn hand; worn hands; wrist; arm; finger; worn wrist; worn finger
bathroom | Is it used in the bathroom? | bathroom; wash; hygiene; bath; shower; toilet; washing; clean body; grooming
bedroom | Is it typical of a bedroom? | bedroom; sleep; sleeping; bed room
office | Is it typical of an office? | office; desk; offices; classroom
garden | Is it used in the garden? | garden; gardening; yard; gardens
outdoors | Is it mostly used outdoors? | outdoors; outside; outdoor; open air
indoors | Is it mostly used indoors? | indoors; inside; indoor; inside house; house; home; at home; household
flies | Does it fly? | fly; flies; air; flying; sky; airborne
floats | Does it travel on or under water? | sail; sails; boat; ship; floats; float; travel water; underwater; on water; sea; sails water; goes water
carries | Does it carry people? | carry people; passengers; transport people; ride; ridden; people ride; carries people; sit inside; people inside
public | Is it public transport? | public transport; public transportation
rails | Does it run on rails? | rails; tracks; track; rail; railway
underground | Does it run under the ground? | under ground; below ground; tunnels; tunnel
sit | Do people sit on it? | sit; sits; seat; sat; sit on; sitting
sound | Does it make sounds? | sound; sounds; noise; loud; noisy; makes sound; makes noise
light | Does it give light? | light; lights; lighting; illuminate; glow; shine; bright; gives light
heat | Does it get hot when it is used? | heat; hot; warm; gets hot; heats; warms; gives heat
cools | Does it keep things cool? | cool; cold; cools; keep cool; keeps cool; keeps cold; cooling
cuts | Is it used for cutting? | cut; cuts; cutting; slice
measures | Does it measure something? | measure; measures; measuring; measurement
time | Does it tell the time? | time; tells time; tell time; clock
cleans | Is it used for cleaning? | clean; cleaning; cleans; dirt; dust
see | Does it help you see? | see; sight; vision; look through; magnify
transparent | Is it transparent? | clear; see through
soft | Is it soft? | soft; cushioned; comfortable; cosy; fluffy
round | Is it round? | round; circular; ball; spherical; sphere; disc; shaped ball
long | Is it long and thin? | long; thin; stick; long thin; narrow; elongated
flat | Is it flat? | flat; sheet
folds | Can it be folded or opened? | fold; folded; foldable; opens; open; folding; opened; opened closed; closes
children | Is it mainly for children? | children; child; kids; kid; children play; babies
pocket | Does it fit in a pocket? | pocket; pocket sized; carry in pocket; portable; fits pocket
modern | Was it invented after 1900? | modern; invented after; invented after 1900; twentieth century; 20th century; recent; recent invention
fasten | Does it hold things together? | hold things together; fasten; fastens; attach; attaches; connects; join; holds together
weather | Does it protect from the weather? | protect weather; rain; weather; sun; protects sun; protects rain; keeps warm; keeps dry; sunlight
photos | Does it take pictures? | take pictures; pictures; photos; photographs; photo; images; photograph
calls | Is it used to talk to people far away? | talk people far away; call; calls; communicate; communication; talk
money | Is it used to pay or to keep money? | money; pay; currency; cash; payment
read | Do you read it? | read; reading; read it; information
jewelry | Is it jewellery? | jewelry; jewellery; decoration; decorative; ornament
weapon | Is it a weapon? | weapons; fight; kill; war; weapon
"""

IMPLIED = """
clothing: worn cloth
device: electric modern
furniture: indoors
instrument: sound
bowed: strings
carries: outdoors
head: worn
feet: worn
hands: worn
screen: electric
engine: metal vehicle
twowheels: wheels
blown: sound
glass: ~transparent
kitchen: indoors
bathroom: indoors
jewelry: worn
photos: device
"""

ENTITIES = """
chair | 4 | furniture wood sit
armchair | 4.3 | furniture cloth sit soft ~leather
sofa; couch | 5 | furniture cloth sit soft long ~leather
stool | 3.5 | furniture wood sit round
bench | 4.7 | furniture wood sit outdoors -indoors garden long
table; dining table | 4.5 | furniture wood flat kitchen
desk | 4.5 | furniture wood flat office
bed | 5 | furniture wood bedroom soft sit
wardrobe; closet | 5 | furniture wood bedroom container folds
bookcase; bookshelf; shelf | 4.5 | furniture wood container office
drawer; chest of drawers | 4.3 | furniture wood bedroom container folds handle
cradle; crib | 3.7 | furniture wood bedroom children
mirror | 3.5 | glass indoors bathroom see flat bedroom
carpet; rug | 4.5 | cloth indoors flat soft
curtain; curtains | 4.5 | cloth indoors folds bedroom
pillow | 3 | cloth bedroom soft indoors
blanket; quilt | 4.5 | cloth bedroom soft indoors flat folds heat
mattress | 5 | cloth bedroom soft indoors flat sit
lamp; desk lamp | 3 | electric light indoors office heat
light bulb; bulb; lightbulb | 2 | electric light glass indoors heat round
candle | 2 | light heat indoors long
flashlight; torch | 2 | electric light handle pocket long plastic outdoors
match; matchstick | 1 | wood light heat long pocket
lighter | 1.5 | light heat pocket ~modern plastic metal
clock; alarm clock | 2.5 | time measures indoors sound round bedroom
wristwatch; watch | 1.5 | time measures hands round metal ~leather
sundial | 3 | time measures outdoors round garden
hourglass | 2 | time measures glass indoors
spoon | 2 | kitchen metal handle long liquid
fork | 2 | kitchen metal handle long sharp
knife; kitchen knife | 2 | kitchen metal handle sharp cuts long ~weapon tool
chopsticks; chopstick | 2 | kitchen wood long
plate | 2.5 | kitchen round flat
bowl | 2.5 | kitchen round liquid container
cup; mug; teacup | 2 | kitchen liquid handle container round
wine glass; drinking glass | 2 | kitchen liquid glass container transparent
bottle | 2.3 | kitchen liquid glass container ~plastic long
teapot | 2.5 | kitchen liquid handle container heat
kettle | 2.7 | kitchen liquid handle container heat electric ~metal
frying pan; pan; skillet | 3 | kitchen metal handle heat round flat
pot; saucepan; cooking pot | 3 | kitchen metal handle heat round container liquid
corkscrew | 2 | kitchen metal handle sharp tool
can opener; tin opener | 2 | kitchen metal handle cuts tool
grater; cheese grater | 2.5 | kitchen metal sharp cuts handle
rolling pin | 2.7 | kitchen wood long round handle
refrigerator; fridge | 4.7 | kitchen electric cools container folds metal modern
oven; stove | 4 | kitchen electric heat metal container folds
microwave; microwave oven | 3.5 | kitchen device heat container folds metal keys sound
toaster | 3 | kitchen electric heat metal ~modern
blender; mixer | 3 | kitchen electric sharp container sound modern liquid cuts
coffee machine; coffee maker | 3.3 | kitchen electric liquid heat modern keys
dishwasher | 4 | kitchen electric cleans container folds liquid ~modern
washing machine; washer | 4.3 | electric cleans container indoors liquid sound modern bathroom
vacuum cleaner; vacuum; hoover | 3.7 | electric cleans indoors sound wheels modern
broom; brush broom | 4 | cleans wood handle long indoors
mop | 4 | cleans handle long indoors liquid
bucket; pail | 3 | cleans liquid container handle plastic ~metal round
sponge | 2 | cleans soft kitchen bathroom
iron; clothes iron | 3 | electric heat metal handle indoors flat
hair dryer; hairdryer | 2.7 | electric heat bathroom handle sound modern
toothbrush | 2 | bathroom cleans plastic handle long
comb; hairbrush | 2 | bathroom plastic pocket handle
razor; shaver | 2 | bathroom sharp cuts handle
soap; bar of soap | 2 | bathroom cleans
towel | 3 | bathroom cloth soft flat folds
toilet; wc | 3.8 | bathroom sit liquid
bathtub; bath; tub | 4.7 | bathroom liquid sit
toilet paper | 2 | bathroom paper cleans soft round
umbrella | 3 | weather folds handle outdoors long cloth
hat; cap | 2.5 | clothing head weather ~round
helmet | 3 | head sport plastic round outdoors
crown | 2.5 | head jewelry metal round
glasses; eyeglasses; spectacles | 2 | head see glass folds transparent
sunglasses | 2 | head weather outdoors plastic glass folds ~modern
mask; face mask | 2.3 | head clothing
scarf | 2.7 | clothing weather long soft heat
glove; gloves; mitten | 2 | clothing hands weather soft ~leather
shirt | 3 | clothing folds office
t-shirt; t shirt; tee shirt | 3 | clothing soft modern
sweater; pullover; jumper | 3 | clothing weather soft heat
coat; jacket | 3.5 | clothing weather outdoors ~leather heat
trousers; pants | 3.3 | clothing long
jeans | 3.3 | clothing long outdoors
skirt | 3 | clothing round
dress; gown | 3.7 | clothing long soft round
suit | 3.7 | clothing office
tie; necktie | 2.5 | clothing office long flat
belt | 2.5 | leather worn long fasten
sock; socks | 2 | clothing feet soft
shoe; shoes | 2.7 | feet leather outdoors rubber
boot; boots | 3 | feet leather outdoors weather
sandal; sandals; flip flops | 2.5 | feet outdoors rubber
high heels; heels; stiletto | 2.7 | feet leather long
ring; wedding ring | 1 | jewelry hands metal round pocket
necklace | 2 | jewelry metal long
earring; earrings | 1 | jewelry head metal pocket
bracelet | 1.7 | jewelry hands metal round
wallet; purse | 2 | leather container money pocket folds
handbag; bag | 3 | leather container handle
backpack; rucksack | 3.3 | cloth container outdoors worn
suitcase; luggage | 3.7 | container handle wheels plastic folds
basket | 3 | container handle wood
box; cardboard box | 3 | container paper folds
safe; strongbox | 3.7 | container metal money folds
coin | 1 | metal money round pocket flat
banknote; bill; bank note | 2 | paper money pocket flat folds
credit card; bank card | 1.7 | plastic money pocket flat modern
key; door key | 1.3 | metal pocket tool
lock; padlock | 1.7 | metal fasten folds
hammer | 2.7 | tool metal handle struck
screwdriver | 2.3 | tool metal handle long fasten
saw; handsaw | 3 | tool metal handle sharp cuts long
drill; power drill | 3 | tool electric sharp handle sound
pliers | 2.3 | tool metal handle
wrench; spanner | 2.5 | tool metal handle fasten
axe; ax; hatchet | 3.3 | tool metal handle sharp cuts struck outdoors ~weapon
chainsaw; chain saw | 3.7 | tool engine -vehicle sharp cuts sound outdoors handle modern garden
nail | 1 | metal sharp fasten long pocket
screw | 1 | metal sharp fasten pocket
ladder | 4.7 | tool wood metal long outdoors folds
shovel; spade | 4 | tool metal handle garden outdoors long
rake | 4 | tool handle garden outdoors long sharp
lawn mower; lawnmower | 4.3 | tool engine -vehicle garden outdoors cuts sharp wheels sound handle
wheelbarrow | 4.3 | tool garden outdoors wheels container handle metal
watering can | 3 | garden outdoors liquid container handle
hose; garden hose | 4 | garden outdoors liquid long rubber
scissors; pair of scissors | 2 | tool metal cuts sharp office handle folds
needle; sewing needle | 0.9 | tool metal sharp long pocket fasten
sewing machine | 3.3 | tool electric metal fasten sound
rope | 3.5 | fasten long outdoors
tape; sticky tape; adhesive tape | 1.7 | fasten plastic office round modern
glue | 2 | fasten liquid office
stapler | 2 | fasten office metal
paper clip; paperclip | 0.9 | fasten office metal pocket
pencil | 2 | writing wood office long pocket sharp
pen; ballpoint | 2 | writing plastic office long pocket liquid
chalk | 1.3 | writing office long
paintbrush; brush | 2 | writing wood handle long
eraser; rubber eraser | 1 | rubber office pocket
ruler | 2.3 | measures office plastic long flat
notebook; notepad | 2.3 | writing paper office flat folds
book; novel | 2.3 | paper read folds
newspaper | 2.7 | paper read folds flat
map; road map | 2.5 | paper read folds flat outdoors
letter; envelope | 2 | paper read folds flat calls
stamp; postage stamp | 0.9 | paper flat money
calendar | 2.5 | paper read time office
globe | 3 | round office read
compass | 1.7 | measures outdoors round pocket metal
thermometer | 2 | measures long
scale; scales; weighing scale | 2.7 | measures kitchen bathroom flat
microscope | 3 | see glass office
telescope | 3.7 | see glass long outdoors
binoculars | 2.3 | see glass outdoors
camera; digital camera | 2.3 | photos see keys ~modern ~electric
computer; desktop computer; pc | 3.7 | device screen keys office
laptop; notebook computer | 2.7 | device screen keys office folds calls
keyboard; computer keyboard | 2.7 | device keys office flat writing
computer mouse | 1.8 | device keys office
printer | 3.3 | device office keys sound
smartphone; phone; cell phone; mobile phone | 2 | photos screen calls pocket flat keys sound time
telephone; landline | 2.5 | electric calls keys sound indoors office
television; tv; television set | 4 | device screen indoors sound flat
radio | 2.7 | electric sound keys indoors modern
headphones; earphones | 2 | device sound head modern
microphone | 2 | electric sound handle long
loudspeaker; speaker | 3 | device sound indoors ~modern
remote control; remote | 2 | device keys indoors long plastic
game console; video game console; playstation | 2.7 | device toy keys indoors
drone; quadcopter | 3 | device flies outdoors photos toy plastic sound
robot | 3.7 | device metal sound
battery | 1.3 | electric metal pocket
piano; grand piano | 5 | instrument wood keys strings struck indoors
guitar; acoustic guitar | 3.5 | instrument wood strings
electric guitar | 3.5 | instrument wood strings electric modern
violin; fiddle | 3 | instrument wood strings bowed
cello | 4 | instrument wood strings bowed indoors
harp | 4.5 | instrument wood strings indoors
drum; drums; drum kit | 3.3 | instrument struck round
xylophone | 3 | instrument struck wood flat
triangle | 2 | instrument struck metal
flute | 2.5 | instrument blown metal keys long
recorder | 2.3 | instrument blown wood long children
trumpet | 2.8 | instrument blown metal keys
trombone | 3.5 | instrument blown metal long
saxophone; sax | 3 | instrument blown metal keys reed
harmonica; mouth organ | 1.7 | instrument blown metal pocket
accordion | 3 | instrument keys folds
organ; pipe organ | 6 | instrument keys metal indoors
whistle | 1 | blown pocket sport sound
bell | 3 | struck sound metal
ball; football; soccer ball | 2.5 | sport toy round rubber leather outdoors
basketball | 2.6 | sport round rubber
tennis racket; racket; racquet | 3 | sport handle strings struck
tennis ball | 1.8 | sport round rubber
baseball bat | 3 | sport handle wood struck long outdoors
golf club | 3.3 | sport handle metal struck long outdoors
dumbbell; weight; barbell | 2.5 | sport metal handle
ski; skis | 3.8 | sport feet outdoors long flat
ice skate; ice skates; skates | 2.7 | sport feet outdoors sharp leather
skateboard | 3.3 | sport wheels outdoors carries wood flat modern
surfboard | 4 | sport outdoors floats carries long flat
tent | 4.7 | cloth outdoors weather folds
sleeping bag | 3.7 | cloth outdoors soft folds heat
doll; barbie | 2.5 | toy children plastic
teddy bear; stuffed animal; plush toy | 2.7 | toy children soft cloth modern
kite | 3 | toy outdoors flies strings cloth children
yo-yo; yo yo; yoyo | 1.3 | toy children round strings pocket
balloon; toy balloon | 2.3 | toy children round rubber flies
jigsaw; jigsaw puzzle; puzzle | 2.5 | toy paper flat
chess set; chess; chessboard | 2.8 | toy wood flat
playing cards; deck of cards; cards | 1.7 | toy paper flat pocket
dice; die | 0.8 | toy pocket
swing; playground swing | 4.5 | toy children sit outdoors carries
slide; playground slide | 5 | toy children outdoors
bicycle; bike | 4.5 | vehicle twowheels carries sit metal outdoors sport
motorcycle; motorbike | 4.6 | engine twowheels carries sit sound
scooter; kick scooter | 3.7 | vehicle twowheels carries children handle
car; automobile | 5 | engine wheels carries sit
taxi; cab | 5 | engine wheels carries sit ~public money
bus | 5.6 | engine wheels carries sit public
truck; lorry | 5.5 | engine wheels carries container
tractor | 5.2 | engine wheels carries sit garden
ambulance | 5.3 | engine wheels carries sound light
fire engine; fire truck | 5.5 | engine wheels carries sound light liquid
train; railway train | 6 | engine wheels carries sit public rails
tram; streetcar | 5.7 | electric vehicle wheels carries sit public rails metal
subway; metro | 6 | underground electric vehicle wheels carries sit public rails metal
airplane; aeroplane; plane; aircraft | 6 | engine wheels carries sit public flies modern
helicopter | 5.4 | engine carries sit flies modern sound
hot air balloon | 5.7 | vehicle carries flies cloth heat round
rocket; spaceship; spacecraft | 6 | engine carries flies modern long heat
boat; rowing boat; rowboat | 5 | vehicle carries sit floats wood
sailing boat; sailboat; yacht | 5.4 | vehicle carries sit floats cloth
ship; cruise ship; ocean liner | 6 | engine carries floats public
submarine | 6 | engine carries floats long
canoe; kayak | 4.7 | vehicle carries sit floats sport long
raft | 4.6 | vehicle carries floats wood flat
wheelchair | 4.2 | vehicle wheels carries sit metal handle
stroller; pram; baby carriage; pushchair | 4 | vehicle wheels carries children handle folds
sled; sledge; sleigh | 4 | vehicle carries sit children wood
elevator; lift | 4.8 | electric carries indoors -outdoors metal keys folds
escalator | 5.5 | electric carries indoors -outdoors metal
sword | 3.3 | weapon metal sharp handle long cuts
spear | 4 | weapon sharp long handle wood
shield | 3.3 | weapon flat metal handle
gun; pistol; revolver | 2.3 | weapon metal handle sound
cannon | 5 | weapon metal sound wheels outdoors
bow; bow and arrow; longbow | 3.7 | weapon wood sport strings outdoors
traffic light; stoplight | 4.3 | electric light outdoors metal
fan; electric fan | 3.3 | electric cools sound indoors round
air conditioner; air conditioning | 4 | device cools indoors sound
heater; radiator | 3.7 | heat indoors metal
fireplace; chimney | 4.6 | heat light indoors
window | 4 | glass indoors see transparent folds flat
door | 4.4 | wood handle folds flat indoors
fountain | 5 | liquid outdoors garden
flag | 3.5 | cloth outdoors flat
"""
