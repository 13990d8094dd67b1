"""Animals: what can be asked about them, and which they are.

The three tables are read by `_base`, which says how. A tag with `~` is true of some of them, or at
some times; one with `-` takes back what its kind implies. A
phrase with `!` asks for the opposite, and one with `=` must be the whole question.
"""

ATTRIBUTES = """
mammal | Is it a mammal? | mammals; milk; feeds young milk; nurses young
bird | Is it a bird? | birds
reptile | Is it a reptile? | reptiles
amphibian | Is it an amphibian? | amphibians
fish | Is it a fish? | kind of fish
insect | Is it an insect? | insects; bug; bugs
arachnid | Is it an arachnid? | arachnids
crustacean | Is it a crustacean? | crustaceans
mollusc | Is it a mollusc? | molluscs; mollusk; mollusks
vertebrate | Does it have a backbone? | vertebrate; vertebrates; spine; bones; skeleton
warm | Is it warm-blooded? | warm blooded; warm blood
eggs | Does it lay eggs? | egg laying; lays eggs; eggs; hatch from eggs; hatch
fur | Does it have fur? | furry; hair; hairy; fluffy
feathers | Does it have feathers? | feathered; plumage
wings | Does it have wings? | winged; wing
scales | Does it have scales? | scaly; scaled
fins | Does it have fins? | fin; gills
shell | Does it have a shell? | shelled; hard shell; carapace
hooves | Does it have hooves? | hoof; hoofs; hoofed
horns | Does it have horns or antlers? | horns; antlers; horned
tusks | Does it have tusks? | tusk; tusked
trunk | Does it have a trunk? | trunks
mane | Does it have a mane? | maned
hump | Does it have a hump? | humps; humped
pouch | Does it carry its young in a pouch? | pouch; marsupial; marsupials
stripes | Does it have stripes? | striped; stripe; stripy
spots | Does it have spots? | spotted; spot; spotty
longneck | Does it have a long neck? | long necked
longtail | Does it have a long tail? | long tailed; bushy tail
venom | Is it venomous? | venom; poisonous; poison; toxic; sting; stings
spikes | Is it covered in spikes? | spike; quills; prickly; spiky
fly | Can it fly? | flies; flying; airborne
sea | Does it live in the sea? | sea; ocean; marine; salt water; seawater; saltwater
fresh | Does it live in rivers or lakes? | river; rivers; lake; lakes; fresh water; freshwater; pond; ponds
water | Does it spend much of its time in water? | water; aquatic; underwater; swims; swim; swimmer
carnivore | Does it mostly eat meat? | carnivore; carnivorous; meat eater; eats meat; predator; hunts; hunter; eats other animals; eats animals
herbivore | Does it mostly eat plants? | herbivore; herbivorous; plant eater; eats plants; eats grass; vegetarian; grazes; eats leaves
omni | Does it eat both plants and animals? | omnivore; omnivorous; eats plants and animals; plants animals
pet | Is it commonly kept as a pet? | pet; pets; house pet; kept at home; house animal
domestic | Is it a domesticated animal? | domesticated; domestic; tame; !wild; !wild animal
farm | Is it kept on farms? | farm; farms; farm animal; livestock; farm animals; farmed
africa | Does it live in the wild in Africa? | africa; african
asia | Does it live in the wild in Asia? | asia; asian
europe | Does it live in the wild in Europe? | europe; european
northamerica | Does it live in the wild in North America? | north america; north american
southamerica | Does it live in the wild in South America? | south america; south american
australia | Does it live in the wild in Australia? | australia; australian
polar | Does it live where there is ice and snow? | arctic; antarctic; antarctica; polar; snow; ice; ice and snow; cold climate; cold climates; cold regions
desert | Does it live in deserts? | desert; deserts; dry regions
forest | Does it live in forests? | forest; forests; jungle; jungles; rainforest; woods; woodland
savanna | Does it live on open grassland? | savanna; savannah; grassland; grasslands; open grassland; plains
mountains | Does it live in mountains? | mountain; mountains; mountainous
nocturnal | Is it mostly active at night? | nocturnal; night; at night; active at night
fast | Is it known for its speed? | fast; quick; speed; fast runner; runs fast
slow | Is it known for being slow? | slow; sluggish; slow moving
groups | Does it live in large groups? | groups; herd; herds; pack; packs; colony; colonies; social; large groups; flocks; flock; swarms; swarm
climbs | Does it climb trees? | climb; climbs; climber; climb trees; trees; tree
hops | Does it move by jumping? | jump; jumps; hop; hops; jumping; leaps
burrows | Does it dig burrows? | burrow; burrows; dig; digs; underground; tunnels
builds | Does it build nests, webs or dams? | nest; nests; web; webs; dam; dams; hive; builds nests
hibernates | Does it sleep through the winter? | hibernate; hibernates; hibernation; sleep winter
dangerous | Is it dangerous to people? | dangerous; dangerous humans; dangerous people; deadly; threat humans; attack humans; attacks people
extinct | Is it extinct? | extinct; died out; dinosaur; prehistoric; dinosaurs
ridden | Do people ride it? | ride; ridden; riding; carries people; carry people
wool | Is it kept for wool? | wool; woolly; fleece
cat | Does it belong to the cat family? | cat family; feline; felines; big cat; cats
dog | Does it belong to the dog family? | dog family; canine; canines; dogs
rodent | Is it a rodent? | rodents
primate | Is it a primate? | primates; ape; apes; monkeys
eaten | Do people commonly eat it? | eaten; people eat it; edible; humans eat it; eaten by people; eaten by humans
twolegs | Does it have two legs? | two legs; two legged; 2 legs; walks two legs
fourlegs | Does it have four legs? | four legs; four legged; 4 legs; quadruped
manylegs | Does it have more than four legs? | more than four legs; more than 4 legs; six legs; eight legs; 6 legs; 8 legs; many legs
nolegs | Does it have no legs at all? | legless; lacks legs
"""

# What a kind is, whatever the animal: `kind: tags`.
IMPLIED = """
mammal: vertebrate warm ~fur
bird: vertebrate warm eggs feathers wings twolegs fly
reptile: vertebrate eggs scales
amphibian: vertebrate eggs fresh water
fish: vertebrate eggs fins water nolegs scales
insect: eggs manylegs
arachnid: manylegs
crustacean: eggs shell water manylegs
mollusc: eggs
cat: mammal fur carnivore fourlegs
dog: mammal fur carnivore fourlegs
rodent: mammal fur fourlegs
primate: mammal fur
beast: mammal fur fourlegs
pet: domestic
farm: domestic
home: ~africa ~asia ~europe ~northamerica ~southamerica ~australia
sea: water
fresh: water
"""

ENTITIES = """
lion | 4 | cat africa savanna mane dangerous groups yellow ~asia
tiger | 4 | cat asia forest stripes dangerous orange black ~water
leopard | 4 | cat africa asia forest savanna spots climbs dangerous yellow nocturnal longtail
cheetah | 4 | cat africa savanna spots fast yellow longtail
jaguar | 4 | cat southamerica forest spots dangerous yellow climbs water ~northamerica
snow leopard | 4 | cat asia mountains spots polar white grey longtail
lynx | 3 | cat europe northamerica asia forest brown spots ~polar
cat; house cat; kitten | 3 | cat home pet ~black ~white ~orange ~grey ~stripes climbs nocturnal longtail
dog; puppy | 3.5 | dog home pet ~black ~white ~brown ~spots
wolf | 4 | dog europe asia northamerica forest grey groups ~dangerous ~polar
red fox; fox | 3 | dog europe asia northamerica forest red burrows nocturnal longtail
hyena | 4 | beast africa savanna spots carnivore groups nocturnal dangerous brown
brown bear; grizzly; grizzly bear | 4.5 | beast europe asia northamerica forest mountains brown hibernates dangerous omni
polar bear | 5 | beast polar northamerica europe asia white carnivore dangerous sea
giant panda; panda; panda bear | 4 | beast asia forest mountains herbivore black white climbs
koala | 3 | beast australia forest herbivore pouch climbs grey slow nocturnal
kangaroo | 4 | mammal fur australia savanna herbivore pouch hops groups brown longtail twolegs
wombat | 3 | beast australia burrows herbivore pouch brown nocturnal
tasmanian devil | 3 | beast australia carnivore pouch black nocturnal
platypus | 3 | beast australia eggs fresh carnivore brown venom burrows
elephant | 5.5 | beast -fur africa asia savanna forest herbivore tusks trunk groups grey ~dangerous ~ridden
giraffe | 5.5 | beast africa savanna herbivore longneck spots hooves yellow ~horns
rhinoceros; rhino | 5 | beast -fur africa asia savanna herbivore horns hooves grey dangerous
hippopotamus; hippo | 5 | beast -fur africa fresh herbivore dangerous grey groups tusks
zebra | 4.5 | beast africa savanna herbivore stripes hooves groups mane black white
antelope; gazelle | 4 | beast africa asia savanna herbivore horns hooves groups fast brown
buffalo; african buffalo | 5 | beast africa savanna herbivore horns hooves groups black dangerous
camel | 5 | beast africa asia desert herbivore hump ridden farm brown longneck
llama | 4 | beast southamerica mountains herbivore farm wool longneck ~white ~brown
horse; pony; mare; stallion | 5 | beast home herbivore farm hooves mane ridden fast groups ~brown ~black ~white longtail
donkey | 4.5 | beast home herbivore farm hooves mane ridden grey
cow; bull; cattle | 5 | beast home herbivore farm hooves horns eaten groups ~black ~white ~brown
sheep; lamb | 4 | beast home herbivore farm hooves wool eaten groups white ~horns
goat | 4 | beast home herbivore farm hooves horns eaten ~wool mountains ~white ~brown ~black
pig; hog | 4 | beast home farm hooves eaten pink -fur omni
wild boar; boar | 4 | beast europe asia forest hooves tusks dangerous brown ~eaten omni nocturnal
deer; stag | 4.5 | beast europe asia northamerica forest herbivore horns hooves brown ~eaten ~groups
moose; elk | 5 | beast northamerica europe asia forest herbivore horns hooves brown ~polar water
reindeer; caribou | 4.5 | beast polar northamerica europe asia herbivore horns hooves groups farm brown ~ridden
bison | 5 | beast northamerica savanna herbivore horns hooves hump groups brown ~europe
mouse | 2 | rodent home grey burrows nocturnal ~pet longtail omni
rat | 2.5 | rodent home grey brown nocturnal groups ~pet burrows longtail omni
hamster | 2 | rodent pet brown burrows nocturnal asia europe ~hibernates
guinea pig | 2.5 | rodent pet herbivore southamerica ~eaten ~brown ~white groups
squirrel | 2.5 | rodent europe northamerica asia forest climbs longtail ~red grey builds herbivore
beaver | 3 | rodent europe northamerica fresh forest herbivore builds brown
porcupine | 3 | rodent africa asia europe northamerica spikes herbivore nocturnal brown
rabbit; bunny; hare | 3 | beast europe home herbivore pet hops burrows fast ~eaten ~brown ~white ~farm
hedgehog | 2.5 | beast -fur europe asia africa spikes hibernates nocturnal brown ~pet omni
mole | 2 | beast europe asia northamerica burrows black carnivore
bat | 2 | mammal fur wings fly nocturnal hibernates groups twolegs home ~black ~brown ~carnivore
raccoon | 3 | beast northamerica forest nocturnal climbs grey omni stripes ~europe
skunk | 3 | beast northamerica nocturnal stripes black white burrows omni longtail
otter | 3.5 | beast europe asia northamerica fresh carnivore brown ~sea
badger | 3.5 | beast europe asia burrows nocturnal black white stripes omni groups
sloth | 3 | beast southamerica forest climbs slow herbivore nocturnal brown
anteater | 4 | beast southamerica savanna forest carnivore grey longtail
armadillo | 3 | beast -fur southamerica northamerica shell burrows nocturnal grey carnivore
gorilla | 4.5 | primate africa forest herbivore groups black ~climbs ~twolegs
chimpanzee; chimp | 4 | primate africa forest groups black climbs omni ~twolegs ~dangerous
orangutan | 4 | primate asia forest herbivore climbs orange ~twolegs
lemur | 3 | primate africa forest climbs groups herbivore longtail stripes grey fourlegs
blue whale | 6 | mammal -fur sea carnivore fins nolegs blue ~groups
killer whale; orca | 5.5 | mammal -fur sea carnivore fins nolegs black white groups ~dangerous
dolphin | 4.5 | mammal -fur sea carnivore fins nolegs grey groups fast
seal | 4.5 | mammal fur sea carnivore fins nolegs grey ~polar groups spots
walrus | 5 | mammal sea carnivore fins nolegs tusks polar brown groups
narwhal | 5 | mammal -fur sea carnivore fins nolegs tusks polar grey groups ~spots
manatee; sea cow | 5 | mammal -fur sea fresh herbivore fins nolegs grey slow northamerica ~africa ~southamerica
eagle | 3.5 | bird carnivore brown mountains builds europe asia africa northamerica fast
owl | 3 | bird carnivore nocturnal forest brown builds europe asia africa northamerica
vulture | 3.5 | bird carnivore africa asia europe savanna brown ~groups builds mountains desert
peregrine falcon; falcon | 3 | bird carnivore fast grey mountains europe asia africa northamerica southamerica australia
penguin | 3.5 | bird -fly sea polar carnivore black white groups ~africa ~southamerica
ostrich | 4.5 | bird -fly africa savanna fast longneck black herbivore ~farm groups
emu | 4.5 | bird -fly australia fast longneck brown omni
chicken; hen; rooster | 3 | bird ~fly farm eaten home omni ~white ~brown ~red groups
duck | 3 | bird fresh farm eaten groups builds europe asia northamerica omni ~green ~white
goose | 3.5 | bird fresh farm eaten groups builds herbivore longneck europe asia northamerica grey white
swan | 4 | bird fresh herbivore builds white longneck europe asia
turkey | 3.5 | bird ~fly farm eaten northamerica forest brown omni groups
peacock | 4 | bird ~fly asia blue green forest omni spots longtail
parrot | 3 | bird pet ~domestic forest southamerica africa australia green herbivore climbs ~red ~blue groups
flamingo | 4 | bird pink longneck fresh groups africa southamerica builds
pigeon; dove | 2.5 | bird home grey groups builds herbivore ~eaten ~white
crow; raven | 3 | bird black europe asia northamerica builds omni ~groups
hummingbird | 2 | bird southamerica northamerica builds herbivore fast ~green forest
woodpecker | 2.5 | bird forest europe asia northamerica builds climbs carnivore ~red black
seagull; gull | 3 | bird sea white grey groups builds omni europe northamerica
stork | 4 | bird white black longneck builds carnivore europe africa
toucan | 3 | bird southamerica forest black climbs herbivore
crocodile | 5 | reptile fourlegs fresh carnivore dangerous green africa asia australia ~sea northamerica
komodo dragon | 4.5 | reptile fourlegs asia carnivore dangerous venom grey
chameleon | 2.5 | reptile fourlegs africa climbs green carnivore slow forest longtail
gecko | 2 | reptile fourlegs climbs nocturnal carnivore ~green home ~pet
iguana | 3.5 | reptile fourlegs herbivore climbs green southamerica northamerica ~pet spikes longtail
tortoise | 3 | reptile fourlegs shell herbivore slow ~pet hibernates africa asia europe brown
sea turtle | 4.5 | reptile -fourlegs shell sea green ~eaten fins slow
cobra | 4 | reptile nolegs venom dangerous asia africa carnivore brown
rattlesnake | 4 | reptile nolegs venom dangerous northamerica southamerica desert carnivore brown nocturnal
python; boa; python snake | 4.5 | reptile nolegs asia africa australia forest carnivore spots climbs nocturnal
tyrannosaurus; tyrannosaurus rex; t rex | 6 | reptile extinct carnivore twolegs dangerous northamerica
triceratops | 5.5 | reptile extinct herbivore fourlegs horns northamerica
stegosaurus | 5.5 | reptile extinct herbivore fourlegs spikes northamerica ~europe
pterodactyl; pterosaur | 3.5 | reptile -scales extinct carnivore wings fly europe ~fourlegs
mammoth; woolly mammoth | 5.5 | beast extinct herbivore tusks trunk groups polar europe asia northamerica brown
dodo | 3.5 | bird -fly extinct africa forest grey herbivore
frog | 2 | amphibian fourlegs hops green carnivore home ~eaten ~venom
toad | 2 | amphibian fourlegs hops brown carnivore nocturnal ~venom hibernates europe asia northamerica
salamander | 2.5 | amphibian fourlegs black yellow carnivore nocturnal spots europe northamerica asia ~venom longtail forest
great white shark; shark; white shark | 5 | fish sea carnivore dangerous grey white fast
clownfish | 2 | fish sea orange white stripes omni asia australia
goldfish | 2 | fish fresh pet orange asia omni
salmon | 3.5 | fish -domestic sea fresh eaten farm carnivore pink ~grey europe northamerica ~asia
tuna | 4.5 | fish sea eaten carnivore fast groups blue grey
piranha | 2.5 | fish fresh southamerica carnivore ~dangerous groups
eel | 3.5 | fish fresh sea eaten carnivore nocturnal black ~scales
seahorse | 2 | fish -scales sea carnivore slow ~yellow
swordfish | 5 | fish -scales sea carnivore eaten fast blue grey
manta ray; stingray | 5 | fish -scales sea carnivore black ~venom longtail
bee; honeybee; bumblebee | 1 | insect wings fly venom groups builds home farm herbivore yellow black stripes
wasp; hornet | 1 | insect wings fly venom groups builds home yellow black stripes carnivore
ant | 0.5 | insect -wings groups builds burrows home black omni ~red
butterfly | 1.5 | insect wings fly herbivore home spots ~orange ~blue ~yellow
moth | 1.5 | insect wings fly herbivore home nocturnal brown
mosquito | 0.5 | insect wings fly dangerous nocturnal home
dragonfly | 1.5 | insect wings fly carnivore home fast fresh ~blue ~green
ladybird; ladybug | 0.5 | insect wings fly carnivore spots red black home hibernates
grasshopper | 1.5 | insect wings ~fly hops herbivore green home ~eaten savanna
cockroach | 1 | insect wings ~fly nocturnal brown home fast omni
scorpion | 1.5 | arachnid -eggs venom desert nocturnal carnivore ~dangerous africa asia northamerica southamerica black
tarantula; spider | 1.5 | arachnid eggs fur venom carnivore nocturnal burrows ~pet southamerica northamerica africa asia black brown
crab | 2 | crustacean sea eaten ~red omni
lobster | 3 | crustacean sea eaten nocturnal ~blue ~red omni
shrimp; prawn | 1.5 | crustacean -domestic sea eaten farm groups pink ~fresh
octopus | 3.5 | mollusc sea manylegs carnivore eaten ~venom ~red
squid | 3.5 | mollusc sea manylegs carnivore eaten groups fast ~pink fins
snail | 1.5 | mollusc shell nolegs slow herbivore brown ~eaten home hibernates
oyster | 2 | mollusc -domestic shell nolegs sea eaten farm slow grey
jellyfish | 3 | sea nolegs venom carnivore ~dangerous slow groups
starfish; sea star | 2 | sea eggs slow carnivore ~orange ~red spikes
earthworm; worm | 2 | nolegs burrows eggs slow pink home
"""
